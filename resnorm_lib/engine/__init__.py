"""What every experiment shares: configs, trials, data sets, training, tables, records, the machine."""
