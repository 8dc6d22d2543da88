import { render } from 'preact';
import { App } from './app.tsx';
import { connectModel } from './connect-model.ts';

const root = document.getElementById('app');
if (root !== null) {
  render(<App model={connectModel()} />, root);
}

// The server that the page came from ends when nobody looks any more; a plain web site has nothing at this address.
if (document.location.hostname === '127.0.0.1') new EventSource('alive');
