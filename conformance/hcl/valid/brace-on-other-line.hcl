service
{
name = "a"
}
