module bessemer.local/components/hello

go 1.26.0
