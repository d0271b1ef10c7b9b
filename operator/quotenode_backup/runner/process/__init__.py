"""What every command of the runner needs: plan and result, signals, threads, child processes, and text for people."""
