module bessemer.local/components/pause

go 1.26.0
