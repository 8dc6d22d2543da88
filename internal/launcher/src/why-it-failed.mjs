import { getSystemErrorName } from 'node:util';

/** What npm, pnpm and Node call the usual causes, and what to do about them. */
const CAUSES = [
  [
    /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT)\b/,
    'the package registry cannot be reached (CODE). The first run needs the network, once; behind a proxy set HTTPS_PROXY',
  ],
  [
    /\b(CERT_\w+|UNABLE_TO_\w+|SELF_SIGNED_CERT\w*|DEPTH_ZERO_SELF_SIGNED_CERT)\b/,
    "the package registry's certificate is not trusted (CODE). Set NODE_EXTRA_CA_CERTS to your own authority's certificate",
  ],
  [
    /\b(ENOSPC|EDQUOT)\b/,
    'no space is left (CODE). Set-up takes about 750 MiB, of which 670 are the store of pnpm, once for all clones',
  ],
  [/\b(EMFILE|ENFILE)\b/, 'too many files are open (CODE): raise the limit (ulimit -n)'],
  [/\b(EROFS|EACCES|EPERM)\b/, 'a file or folder cannot be written (CODE)'],
];

/** How programs in Rust, as pnpm is, tell an error of the system; where a line is full they break it. */
const OS_ERROR = /\bos\s+error\s+([1-9]\d{0,3})\b/g;

/**
 * Why a step of the set-up failed, in a sentence, or undefined when its output tells none of the usual causes.
 *
 * @param {string} output
 */
export function whyItFailed(output) {
  // Windows has numbers of its own.
  const isUnix = process.platform !== 'win32';
  const named = isUnix ? output.replaceAll(OS_ERROR, (_, number) => getSystemErrorName(-number)) : output;
  for (const [pattern, text] of CAUSES) {
    const code = pattern.exec(named)?.[1];
    if (code !== undefined) return text.replace('CODE', code);
  }
  return undefined;
}
