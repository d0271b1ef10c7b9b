"""What is worked on: the lock of a database, and the workloads of its application. The only code that stops or starts one."""
