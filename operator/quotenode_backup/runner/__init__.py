"""The data path inside the Job: plan in, bundle and result out. No kopf, no Kubernetes client."""
