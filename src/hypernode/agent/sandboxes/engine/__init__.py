"""The container engine backend: Docker and Podman over one API, with runc, gVisor or what else is registered there."""
