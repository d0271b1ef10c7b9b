"""The life of a QuoteNodeRestore. Before the point of no return a failure leaves the live data as it was; after it there is only the way forward."""
