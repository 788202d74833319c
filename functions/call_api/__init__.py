"""The command line: `call-api`, with `configure` and `doctor`. Not deployed."""
