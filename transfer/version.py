"""The version of this distribution, readable without asking the package metadata."""

VERSION = "0.1.0"
