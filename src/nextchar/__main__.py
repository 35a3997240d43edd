"""python -m nextchar COMMAND"""

from nextchar.cli.main import main

if __name__ == "__main__":
    main()
