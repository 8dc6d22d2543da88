@echo off
rem The heki command, from this clone: sets up what is missing, then does what its arguments say. heki.cmd --help
rem Where cmd runs with /V:ON, an exclamation mark in an argument or a path would be a variable.
setlocal DisableDelayedExpansion
where node >nul 2>nul || (
  echo heki needs Node 20.19 or newer, and finds no node in PATH. https://nodejs.org has it. 1>&2
  exit /b 1
)
node "%~dp0internal\launcher\src\heki.mjs" %*
