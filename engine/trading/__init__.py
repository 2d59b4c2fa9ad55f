"""One decision path for every stage: events in, durable facts and approved orders out."""
