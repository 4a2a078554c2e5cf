"""The command line: one file per command, each thin: parse, call the library, print. stdout carries the result."""
