"""The Jobs of any resource: what their pods do, why they do not run, how they ended, and when another is due."""
