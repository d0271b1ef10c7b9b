"""What the operator and the runner tell each other, and what a bundle says about itself.

The operator writes the plan into an annotation of the pod, and its checksum into the arguments of the container. The runner writes the result into
the termination message. For as long as a run takes, the two programs can be of different releases. So a plan is read strictly, since a runner must
not guess what a field means that it does not know, and a result is read leniently.
"""
