"""What was true at every decision of a recorded battle, read without any code of the converter, and a grader."""
