/** A database that answers every request at once with the same bytes: what is left of a call's time is the caller's own. Runs in a process of its own. */
import { createServer, type Socket } from 'node:net';
import { childArguments, report } from './inside-child.js';

const { body } = childArguments<{ readonly body: string }>();
const ANSWER = Buffer.from(
  `HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: keep-alive\r\n\r\n${body}`,
);
const HEAD_END = '\r\n\r\n';

/** Answers each whole request of a connection: its head, and as many bytes as it announces. */
function serve(socket: Socket): void {
  let received = '';
  socket.setNoDelay(true);
  socket.setEncoding('latin1');
  socket.on('data', (bytes) => {
    received += bytes;
    for (;;) {
      const headEnd = received.indexOf(HEAD_END);
      if (headEnd < 0) return;
      const bodyBytes = Number(/content-length: *(\d+)/i.exec(received.slice(0, headEnd))?.[1] ?? 0);
      const requestEnd = headEnd + HEAD_END.length + bodyBytes;
      if (received.length < requestEnd) return;
      received = received.slice(requestEnd);
      socket.write(ANSWER);
    }
  });
  socket.on('error', () => socket.destroy());
}

const server = createServer(serve).listen(0, '127.0.0.1', () => {
  const address = server.address();
  report(typeof address === 'object' ? address?.port : undefined);
});
process.once('disconnect', () => process.exit());
