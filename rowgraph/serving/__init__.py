"""The saved model of a task: fitted for good, asked about any date, checked when it came true."""
