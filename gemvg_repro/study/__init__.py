"""What to run and where: profiles, plan, run directories, notebook execution."""
