# kubeadm's manifest gives arguments only, so the program must be the entrypoint.
FROM scratch
COPY coredns /coredns
ENTRYPOINT ["/coredns"]
