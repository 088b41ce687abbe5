"""What Darknet reads of a data set: `.data` files, lists of pictures, labels."""
