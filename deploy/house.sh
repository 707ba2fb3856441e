# house: what the scripts around docker-compose share. Sourced by them from the top folder, not run.
#
# Settings come from the environment or else from .env, as they do for docker-compose; ENV_FILE names another file than .env, for a
# second stack on one machine.

program=$(basename "$0")
: "${ENV_FILE:=.env}"

SERVICES="intake approval evaluation allocation payment reporting"

say() { echo "$program: $*" >&2; }
fault() { say "$*"; exit 1; }

# env_settings: what deploy/settings says of all that may stand in .env, a line each: NAME|what holds when it is absent.
env_settings() {
    awk -F' *[|] *' '/^[A-Z]/ && (" " $2 " ") ~ / compose / {print $1 "|" ($4 == "must be set" ? "" : $4)}' deploy/settings
}

# setting NAME: its value, or what deploy/settings says holds when it is absent.
setting() {
    if eval "[ -n \"\${$1:-}\" ]"; then
        eval "printf '%s\n' \"\$$1\""
    elif [ -f "$ENV_FILE" ] && grep -q "^$1=." "$ENV_FILE"; then
        sed -n "s/^$1=//p" "$ENV_FILE" | tail -n 1
    else
        env_settings | sed -n "s/^$1|//p"
    fi
}

# setting_write NAME VALUE: into .env, whole or not at all.
setting_write() {
    awk -v name="$1" -v value="$2" '
        index($0, name "=") == 1 {if (!done) print name "=" value; done = 1; next}
        {print}
        END {if (!done) print name "=" value}' "$ENV_FILE" >"$ENV_FILE.new"
    chmod 0644 "$ENV_FILE.new"
    sync "$ENV_FILE.new"
    mv "$ENV_FILE.new" "$ENV_FILE"
}

# docker-compose, which is 1.29 on Debian 12 and Compose v2 on 13; where there is none, Compose v2 as a part of docker.
compose() {
    if command -v docker-compose >/dev/null; then
        docker-compose --env-file "$ENV_FILE" "$@"
    else
        docker compose --env-file "$ENV_FILE" "$@"
    fi
}

project() { setting COMPOSE_PROJECT_NAME; }

# outside NAME: is this part elsewhere, by deploy/outside-NAME.yml among the files of COMPOSE_FILE?
outside() { case ":$(setting COMPOSE_FILE):" in *"/outside-$1.yml:"*) ;; *) return 1 ;; esac; }

# containers SERVICE: the ids of its running containers, oldest first.
containers() {
    docker ps -q --filter "label=com.docker.compose.project=$(project)" --filter "label=com.docker.compose.service=$1" \
        --filter label=com.docker.compose.oneoff=False --no-trunc | tac
}

# place SETTING VOLUME: what to mount for it: the folder the setting names, or the project's volume.
place() {
    folder=$(setting "$1")
    echo "${folder:-$(project)_$2}"
}

# well ID: is it well by its own health check, asked now? Docker itself asks only every HEALTH_INTERVAL. Prints what the check says.
well() {
    check=$(docker inspect -f '{{range $i, $word := .Config.Healthcheck.Test}}{{if $i}}{{$word}} {{end}}{{end}}' "$1") &&
        docker exec "$1" sh -c "$check"
}

RESTARTS_MOST=2  # by Docker, while a container is waited for; what ends more often will not become well by waiting

restarts() { docker inspect -f '{{.RestartCount}}' "$1" 2>/dev/null || echo 0; }

# wait_healthy SECONDS ID...: until every container is well. False, with a sentence, when time is up, or one has ended or ends
# again and again.
wait_healthy() {
    until_s=$(($(date +%s) + $1))
    shift
    for id in "$@"; do
        restarts_before=$(restarts "$id")
        until words=$(well "$id" 2>&1); do
            name=$(docker inspect -f '{{.Name}}' "$id" 2>/dev/null | tr -d /)
            state=$(docker inspect -f '{{.State.Status}}' "$id" 2>/dev/null || echo gone)
            [ "$(restarts "$id")" -le $((restarts_before + RESTARTS_MOST)) ] || state=gone
            case "$state" in exited | dead | gone)
                say "${name:-$id} has ended; its last words:"
                docker logs --tail 3 "$id" >&2 2>&1 || true
                return 1 ;;
            esac
            if [ "$(date +%s)" -ge "$until_s" ]; then
                say "$name did not become well (it is $state): $(printf '%s' "$words" | tail -n 1)"
                docker logs --tail 3 "$id" >&2 2>&1 || true
                return 1
            fi
            sleep 0.5
        done
    done
}

# need_docker: a sentence instead of a stack of errors.
need_docker() {
    command -v docker >/dev/null || fault "there is no docker here; on Debian: apt-get install docker.io docker-compose"
    docker info >/dev/null 2>&1 || fault "docker does not answer; start it (systemctl start docker), and run this as root or as a member of the group docker"
}

# Inside the postgres container, as its own user; the database is reached through its socket.
in_postgres() { docker exec -i "$postgres" "$@"; }
query() { in_postgres psql -X -q -tA -h /run/postgresql -U postgres -d tildel -v ON_ERROR_STOP=1 -c "$1"; }
