"""The way out for jobs that need one: an HTTP proxy outside the sandbox, to the hosts their documents name."""
