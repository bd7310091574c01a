"""How it is run: definitions, versions, plan, jobs, schedules, sensors, the command line."""
