"""Empty. Hides the plugin of an older checkout that is installed beside this one."""
