import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isRunByNpm, keptByNpm, optionsInEnvironment } from './npm-arguments.mjs';
import { root } from './root.mjs';
import { runHeki, setUpOrTell } from './run-heki.mjs';

/**
 * `npm start -- ARGS`: heki ARGS in the folder where the user stands. Refuses when npm kept options for itself: what is left
 * would be another command than was meant.
 *
 * @param {readonly string[]} args
 */
export async function npmStart(args) {
  const { env } = process;
  const byNpm = isRunByNpm(env);
  const kept = byNpm ? keptByNpm(args, env) : undefined;
  if (kept !== undefined && kept.options.length > 0) return refuse(kept.options, kept.meant);
  if (!(await setUpOrTell())) return;
  if (byNpm && kept === undefined) {
    const options = optionsInEnvironment(await hekiOptions(), env, root);
    if (options.length > 0) return refuse(options);
    if (args.length > 0 && !args.some((word) => word.startsWith('-'))) {
      process.stderr.write(
        'heki: npm wrote no log, so that an option which it kept for itself may go unseen; ./heki takes all of them\n',
      );
    }
  }
  if (byNpm && env.npm_config_loglevel !== 'silent' && args.includes('--json') && !process.stdout.isTTY) {
    process.stderr.write(
      'heki: npm puts lines of its own before the output; ./heki and npm start --silent do not\n',
    );
  }
  if (env.INIT_CWD !== undefined) process.chdir(env.INIT_CWD);
  await runHeki(args);
}

/** Says which options npm kept, and the line that works: `meant`, where it is known. */
function refuse(options, meant) {
  const line = (meant ?? ['COMMAND', ...options, '...']).map(quoted).join(' ');
  process.stderr.write(
    `heki: npm kept ${options.join(' ')} for itself: it hands over options only behind "--". Write one of\n  npm start -- ${line}\n  ./heki ${line}\n`,
  );
  process.exitCode = 2;
}

/** `word` as a shell reads it. */
function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** The names of all options of all commands. */
async function hekiOptions() {
  const { createProgram } = await import(
    pathToFileURL(join(root, 'packages', 'heki', 'dist', 'run.js')).href
  );
  const options = createProgram().commands.flatMap((command) => command.options);
  return new Set(options.map((option) => option.name().replace(/^no-/, '')));
}
