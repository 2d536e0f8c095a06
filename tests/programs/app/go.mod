module berth.dev/tests/app

go 1.26.0
