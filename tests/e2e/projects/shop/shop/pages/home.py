HOME = "/fast/home"
