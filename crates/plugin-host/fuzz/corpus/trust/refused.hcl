plugin "abababababababababababababababababababababababababababababababab" { env = ["LD_PRELOAD"] }
