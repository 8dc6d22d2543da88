import { render } from 'preact';
import { App } from './app.tsx';
import { connectModel } from './connect-model.ts';

const root = document.getElementById('app');
if (root !== null) {
  render(<App model={connectModel()} />, root);
}

// `heki inspect`, whose addresses have a token of 16 bytes, ends when nobody looks any more; a plain web site has nothing there.
const { hostname, pathname } = document.location;
if (hostname === '127.0.0.1' && /^\/[0-9a-f]{32}\/$/.test(pathname)) new EventSource('alive');
