"""What the operator and the runner say to each other, and what a bundle says about itself.

The plan goes in as an annotation of the pod, with its checksum as an argument; the result comes out as the termination message. The two
programs can be of different releases for as long as a run takes, so a plan is read strictly (a runner that does not know a field must not
guess) and a result leniently.
"""
