"""The custom resources as types: the one source of the CRDs, of the examples' checks and of what the operator reads."""

GROUP = "backup.quotenode.io"
VERSION = "v1beta1"
API_VERSION = f"{GROUP}/{VERSION}"
