// What npm keeps for itself of `npm start ARGS`. npm hands a script only the words that are not options, and what follows
// `--`: `npm start translate X --access write` runs `translate X`, which answers another question than was asked.
//
// The environment does not tell it all (npm 9 to 11): an option that npm knows leaves no trace when its value is none of
// npm's (`--access write`) or is npm's default (`--format`, which npm reads as --format-package-lock). npm's log of the run
// does: it holds the whole command line, and is written before the script starts.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Options with which npm may be asked to start a script, and whether a value follows them. All others were meant for heki. */
const OPTIONS_FOR_NPM = new Map(
  Object.entries({
    loglevel: true,
    prefix: true,
    userconfig: true,
    globalconfig: true,
    cache: true,
    registry: true,
    proxy: true,
    'https-proxy': true,
    'script-shell': true,
    'node-options': true,
    'logs-dir': true,
    'logs-max': true,
    silent: false,
    'ignore-scripts': false,
    'foreground-scripts': false,
    color: false,
    progress: false,
    timing: false,
    offline: false,
    'prefer-offline': false,
    'update-notifier': false,
  }),
);

/** npm sets these for every script, whatever was asked for. */
const SET_BY_NPM = new Set(
  'cache global_prefix globalconfig init_module local_prefix node_gyp noproxy npm_version prefix user_agent userconfig'.split(
    ' ',
  ),
);

/** As many logs are looked at as npm keeps. */
const MOST_LOGS = 20;

/**
 * What npm kept of the command line, from its log of this run.
 *
 * @param {readonly string[]} args what npm handed over
 * @param {NodeJS.ProcessEnv} env
 * @returns {{ options: string[], meant: string[] } | undefined} the options that npm kept, and the arguments that were meant,
 *   both empty of npm's own options; undefined when there is no log
 */
export function keptByNpm(args, env) {
  const words = commandLineOf(args, env);
  if (words === undefined) return undefined;
  const kept = [];
  const meant = [];
  const end = words.includes('--') ? words.indexOf('--') : words.length;
  for (let at = words.indexOf('start') + 1; at < end; at++) {
    const word = words[at];
    const isOption = word.startsWith('-') && word !== '-';
    const takesValue = isOption ? OPTIONS_FOR_NPM.get(word.replace(/^--?(no-)?/, '')) : undefined;
    if (takesValue === true) at++;
    if (takesValue !== undefined) continue;
    if (isOption) kept.push(word);
    meant.push(word);
  }
  return { options: kept, meant: [...meant, ...words.slice(end + 1)] };
}

/**
 * The same from the environment, for a run without a log: which options of `names` npm was given. What the user's own .npmrc
 * files say is theirs.
 *
 * @param {Iterable<string>} names of heki's options, without dashes and `no-`
 * @param {NodeJS.ProcessEnv} env
 * @param {string} root of the project
 * @returns {string[]}
 */
export function optionsInEnvironment(names, env, root) {
  const own = [env.npm_config_userconfig, env.npm_config_globalconfig, join(root, '.npmrc')];
  const configured = new Set(own.flatMap((file) => (file === undefined ? [] : keysOf(file))));
  return [...names].flatMap((name) => {
    const key = name.replaceAll('-', '_');
    const value = env[`npm_config_${key}`];
    if (value === undefined || SET_BY_NPM.has(key) || configured.has(key)) return [];
    return [value === '' ? `--no-${name}` : `--${name}`];
  });
}

/** Whether npm (and no other package manager) runs this script. */
export function isRunByNpm(env) {
  return env.npm_lifecycle_event === 'start' && (env.npm_config_user_agent ?? '').startsWith('npm/');
}

/**
 * The words of npm's command line, options spelt out as npm understood their dashes.
 *
 * npm names its logs by time. This run's is the newest of those that have not ended and whose title has the same words.
 */
function commandLineOf(args, env) {
  const folder = env.npm_config_logs_dir ?? join(env.npm_config_cache ?? '', '_logs');
  const title = ['start', ...args].join(' ');
  for (const name of namesOf(folder).sort().reverse().slice(0, MOST_LOGS)) {
    const log = textOf(join(folder, name));
    if (/^\d+ (?:verbose exit|info ok)/m.test(log)) continue;
    if (!/^\d+ verbose title (.*)$/m.exec(log)?.[1].endsWith(` ${title}`)) continue;
    const line = /^\d+ verbose argv (".*")$/m.exec(log)?.[1];
    if (line !== undefined) return wordsOf(line);
  }
  return undefined;
}

/** The words of `"start" "a b"`: JSON strings with a space between. */
function wordsOf(line) {
  try {
    return JSON.parse(`[${(line.match(/"(?:[^"\\]|\\.)*"/g) ?? []).join(',')}]`);
  } catch {
    return undefined;
  }
}

function keysOf(npmrc) {
  return [...textOf(npmrc).matchAll(/^\s*([\w-]+)\s*(?:=|$)/gm)].map(([, key]) => key.replaceAll('-', '_'));
}

function namesOf(folder) {
  try {
    return readdirSync(folder).filter((name) => name.endsWith('-debug-0.log'));
  } catch {
    return [];
  }
}

function textOf(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
