"""One module for each command of the runner. A command carries out the plan of a Job."""
