"""These are users' projects: data for the tests beside this directory, and not tests of ours."""

collect_ignore_glob = ["*"]
