-- Where the server keeps users and roles; a replicated storage sends them to the others by itself.
SELECT type FROM system.user_directories
