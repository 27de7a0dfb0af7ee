"""The Kubernetes API: a small client, and what its objects say of themselves."""
