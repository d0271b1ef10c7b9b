"""The Jobs of any resource: what their pods do, why a pod does not run, how a Job ended, and when the next is due."""
