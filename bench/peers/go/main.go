// The tenant read of Insula as a Go service would do it: gin, golang-jwt, pgx with one batch per request.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math/big"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/golang-jwt/jwt"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Code      string `json:"code"`
	RequestID string `json:"request_id"`
}

type project struct {
	ID          string  `json:"id"`
	Name        string  `json:"name"`
	Description *string `json:"description"`
	CreatedAt   string  `json:"created_at"`
	UpdatedAt   string  `json:"updated_at"`
}

type memberClaims struct {
	Tenant  string `json:"tid"`
	Role    string `json:"role"`
	Session string `json:"sid"`
	jwt.StandardClaims
}

const preamble = "select pg_catalog.set_config('role', $1, true), pg_catalog.set_config('lock_timeout', $2, true)," +
	" pg_catalog.set_config('statement_timeout', $3, true)"
const timeFormat = "2006-01-02T15:04:05.000000Z"

type server struct {
	pool     *pgxpool.Pool
	keys     map[string]*ecdsa.PublicKey
	issuer   string
	parser   *jwt.Parser
	verdicts *verdicts // nil: every token is checked each time
}

// What was found of tokens that were good, by the whole token. golang-jwt has nothing like it.
type verdicts struct {
	guard sync.RWMutex
	known map[string]memberClaims
}

const verdictsMax = 8192

func (v *verdicts) find(token string) (memberClaims, bool) {
	v.guard.RLock()
	defer v.guard.RUnlock()
	claims, known := v.known[token]
	return claims, known && claims.ExpiresAt > time.Now().Unix()
}

func (v *verdicts) put(token string, claims memberClaims) {
	v.guard.Lock()
	defer v.guard.Unlock()
	if len(v.known) >= verdictsMax {
		v.known = map[string]memberClaims{}
	}
	v.known[strings.Clone(token)] = claims
}

func secure(c *gin.Context) {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		panic(err)
	}
	text := hex.EncodeToString(id[:])
	c.Set("request_id", text)
	h := c.Writer.Header()
	h.Set("X-Request-ID", text)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	c.Next()
}

func refuse(c *gin.Context, status int, code, title, detail string) {
	text, _ := json.Marshal(problem{"urn:insula:problem:" + code, title, status, detail, code, c.GetString("request_id")})
	if status == http.StatusUnauthorized {
		c.Writer.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	}
	c.Data(status, "application/problem+json", text)
	c.Abort()
}

func (s *server) key(t *jwt.Token) (interface{}, error) {
	if typ, _ := t.Header["typ"].(string); typ != "at+jwt" {
		return nil, errors.New("not an access token")
	}
	id, _ := t.Header["kid"].(string)
	if key, known := s.keys[id]; known {
		return key, nil
	}
	return nil, errors.New("unknown key")
}

func (s *server) authenticate(c *gin.Context) {
	field := c.GetHeader("Authorization")
	claims := &memberClaims{}
	good := len(field) > 7 && strings.EqualFold(field[:7], "Bearer ")
	known := false
	if good && s.verdicts != nil {
		*claims, known = s.verdicts.find(field[7:])
	}
	if good && !known {
		*claims = memberClaims{} // of one that has expired
		token, err := s.parser.ParseWithClaims(field[7:], claims, s.key)
		good = err == nil && token.Valid && claims.VerifyIssuer(s.issuer, true) &&
			claims.VerifyAudience(s.issuer, true) && claims.ExpiresAt != 0 && uuid(claims.Tenant)
		if good && s.verdicts != nil {
			s.verdicts.put(field[7:], *claims)
		}
	}
	if !good {
		refuse(c, http.StatusUnauthorized, "invalid_token", "The access token is not valid",
			"The access token is not valid (any more): refresh it, or log in again.")
		return
	}
	c.Set("tenant", claims.Tenant)
	c.Next()
}

func uuid(text string) bool {
	if len(text) != 36 {
		return false
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return true
}

func notFound(c *gin.Context) {
	refuse(c, http.StatusNotFound, "not_found", "Not found", "There is no project with this id in your tenant.")
}

func (s *server) readProject(c *gin.Context) {
	id := c.Param("id")
	if !uuid(id) {
		notFound(c)
		return
	}
	schema := "t_" + strings.ReplaceAll(c.GetString("tenant"), "-", "")
	var work pgx.Batch
	work.Queue(preamble, schema, "50", "30000")
	work.Queue("select id::text, name, description, version, created_at, updated_at from "+schema+".projects where id = $1", id)
	ctx, cancel := context.WithTimeout(c.Request.Context(), 30*time.Second)
	defer cancel()
	results := s.pool.SendBatch(ctx, &work)
	defer results.Close()
	if _, err := results.Exec(); err != nil {
		refuse(c, http.StatusServiceUnavailable, "unavailable", "Unavailable", err.Error())
		return
	}
	var found project
	var version int32
	var created, updated time.Time
	err := results.QueryRow().Scan(&found.ID, &found.Name, &found.Description, &version, &created, &updated)
	if errors.Is(err, pgx.ErrNoRows) {
		notFound(c)
		return
	}
	if err != nil {
		refuse(c, http.StatusServiceUnavailable, "unavailable", "Unavailable", err.Error())
		return
	}
	tag := fmt.Sprintf(`"v%d"`, version)
	c.Writer.Header().Set("ETag", tag)
	if c.GetHeader("If-None-Match") == tag {
		c.Status(http.StatusNotModified)
		return
	}
	found.CreatedAt = created.UTC().Format(timeFormat)
	found.UpdatedAt = updated.UTC().Format(timeFormat)
	text, _ := json.Marshal(found)
	c.Data(http.StatusOK, "application/json", text)
}

func readKeys(path string) map[string]*ecdsa.PublicKey {
	var set struct {
		Keys []struct{ X, Y, Kid string }
	}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &set)
	}
	if err != nil {
		log.Fatal(err)
	}
	number := func(text string) *big.Int {
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			log.Fatal(err)
		}
		return new(big.Int).SetBytes(raw)
	}
	keys := map[string]*ecdsa.PublicKey{}
	for _, k := range set.Keys {
		keys[k.Kid] = &ecdsa.PublicKey{Curve: elliptic.P256(), X: number(k.X), Y: number(k.Y)}
	}
	return keys
}

func main() {
	config, err := pgxpool.ParseConfig(os.Getenv("PEER_DATABASE"))
	if err != nil {
		log.Fatal(err)
	}
	pool, err := pgxpool.ConnectConfig(context.Background(), config)
	if err != nil {
		log.Fatal(err)
	}
	s := &server{pool, readKeys(os.Getenv("PEER_JWKS")), os.Getenv("PEER_ISSUER"),
		jwt.NewParser(jwt.WithValidMethods([]string{"ES256"})), nil}
	if os.Getenv("PEER_VERDICTS") != "" {
		s.verdicts = &verdicts{known: map[string]memberClaims{}}
	}
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.Use(gin.Recovery(), secure)
	router.GET("/api/v1/projects/:id", s.authenticate, s.readProject)
	log.Fatal(router.Run(os.Getenv("PEER_LISTEN")))
}
