/** Where somebody listens: the path of a Unix socket, or a TCP port. */
export type SocketAddress = { readonly path: string } | { readonly host: string; readonly port: number };

/** `HOST:PORT` or `:PORT`, on this machine, or else a path. An address of IPv6 stands in brackets. */
export function parseSocketAddress(text: string): SocketAddress {
  const [, bracketed, plain = '', port = ''] = /^(?:\[([^\]]+)\]|([^/:]*)):(\d{1,5})$/.exec(text) ?? [];
  if (port === '') return { path: text };
  return { host: bracketed ?? (plain === '' ? 'localhost' : plain), port: Number(port) };
}

/** For people. */
export function socketName(address: SocketAddress): string {
  return 'path' in address ? address.path : `${address.host}:${address.port}`;
}
