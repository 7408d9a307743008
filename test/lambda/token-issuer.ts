import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose';

/** A pair of keys that an issuer signs with. */
export interface SigningKey {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly publicJwk: JWK;
}

export async function signingKey(kid: string, alg = 'RS256'): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, alg, privateKey, publicJwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } };
}

/** An identity provider on this machine: it announces where its keys are, and gives out those that are in `keys`. */
export interface TokenIssuer {
  readonly issuer: string;
  keys: SigningKey[];
  /** What it answers in place of JSON: a status, a broken body, or nothing at all. */
  fault: number | 'garbage' | 'silence' | undefined;
  /** What it answers to the announcement; undefined: 404. */
  announcement: object | undefined;
  /** Paths that were asked for, in order. */
  readonly asked: string[];
  readonly stop: () => Promise<void>;
}

export async function tokenIssuer(): Promise<TokenIssuer> {
  const open = new Set<ServerResponse>();
  const server = createServer((request, response) => {
    issuer.asked.push(request.url ?? '');
    if (issuer.fault === 'silence') return void open.add(response);
    if (issuer.fault === 'garbage') return response.end('<html>');
    const keys = { keys: issuer.keys.map(({ publicJwk }) => publicJwk) };
    // Somewhere else everything is to be had.
    if (request.url === '/moved') return response.end(JSON.stringify({ ...issuer.announcement, ...keys }));
    if (issuer.fault !== undefined) return response.writeHead(issuer.fault, { location: '/moved' }).end();
    const isAnnouncement = request.url === '/.well-known/openid-configuration';
    const body = isAnnouncement ? issuer.announcement : keys;
    if (body === undefined) return response.writeHead(404).end();
    return response.setHeader('content-type', 'application/json').end(JSON.stringify(body));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const issuer: TokenIssuer = {
    issuer: url,
    keys: [],
    fault: undefined,
    announcement: { issuer: url, jwks_uri: `${url}/keys` },
    asked: [],
    async stop() {
      for (const response of open) response.destroy();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return issuer;
}

export interface TokenParts {
  readonly key: SigningKey;
  readonly claims: JWTPayload;
  readonly header?: Readonly<Record<string, unknown>>;
}

/** A token that is right but for what is given. */
export function signed({ key, claims, header }: TokenParts): Promise<string> {
  return new SignJWT({ ...claims }).setProtectedHeader({ alg: key.alg, kid: key.kid, ...header }).sign(key.privateKey);
}
