"""`python -m sovbroker.demo` runs the demo."""

from sovbroker.demo import main

if __name__ == "__main__":
    main()
