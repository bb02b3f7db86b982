/ a
