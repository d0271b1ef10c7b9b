"""What a run works on: the lock of a database, and the workloads, which only this package stops and starts."""
