"""What is for whoever runs the server: `/status`, its numbers and buttons, `/admin/...`.

Without `ADMIN_KEY` there is none of it.
"""
