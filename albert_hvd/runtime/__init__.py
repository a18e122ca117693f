"""What any process of a run needs: ranks, devices, signals, files, ways out."""
