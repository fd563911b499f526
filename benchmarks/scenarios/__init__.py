"""What a service must bear; each scenario is a function that says what is right in its first line."""
