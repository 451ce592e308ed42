"""Work shared by processes: data workers, and the ranks of MPI."""
