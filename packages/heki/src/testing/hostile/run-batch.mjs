// Runs command lines one after the other in this process, and tells of each its outcome. Its argument is the file of the lines, as JSON.
import { readFileSync } from 'node:fs';
import { run } from '../../../dist/run.js';

/** The most memory that a process had is never less than of the command before: beyond this another process goes on. */
const ENOUGH_MEBIBYTES = 256;

for (const args of JSON.parse(readFileSync(process.argv[2], 'utf8'))) {
  const written = { stdout: '', stderr: '' };
  const stdout = {
    write: async (data) => {
      if (typeof data !== 'string') return;
      written.control ||= hasControl(data);
      if (written.stdout.length < 4000) written.stdout += data;
    },
    isTerminal: false,
    columns: undefined,
  };
  const stderr = { ...stdout, write: async (data) => (written.stderr += data) };
  process.stdout.write(`${JSON.stringify({ begins: args })}\n`);
  const before = process.cpuUsage();
  const exitCode = await run(args, { stdout, stderr, env: {} });
  const { user, system } = process.cpuUsage(before);
  const peakMebibytes = peakKibibytes() / 1024;
  process.stdout.write(
    `${JSON.stringify({
      args,
      exitCode,
      stdout: written.stdout.slice(0, 4000),
      stderr: written.stderr.slice(0, 4000),
      control: written.control === true || hasControl(written.stderr),
      seconds: (user + system) / 1e6,
      peakMebibytes,
    })}\n`,
  );
  if (peakMebibytes > ENOUGH_MEBIBYTES) break;
}

/** What `getrusage` has begins with the peak of the process that started this one: Linux's `exec_mmap` carries it over. */
function peakKibibytes() {
  if (process.platform !== 'linux') return process.resourceUsage().maxRSS;
  return Number(/^VmHWM:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
}

function hasControl(text) {
  return /[^\P{Cc}\n\t]/u.test(text);
}
