# syntax=docker/dockerfile:1
FROM python:3.12-slim AS build
WORKDIR /build
RUN python -m venv /opt/venv
COPY requirements.txt .
# The file is a complete list of pins, so pip resolves nothing.
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps -r requirements.txt

FROM python:3.12-slim
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ENVIRONMENT=prod
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin app
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY . .
# Collecting static files needs settings that load; none of these values is kept.
RUN SECRET_KEY=build SECRETS_KEYS=YnVpbGQtdGltZS1vbmx5LW5ldmVyLWEtcmVhbC1rZXk= \
    IAM_MODE=jwks IAM_JWKS_URL=https://build.invalid/jwks.json IAM_ISSUER=https://build.invalid \
    DATABASE_URL=postgresql://build.invalid/build python manage.py collectstatic --noinput --verbosity 0
USER app
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 CMD ["python", "-m", "integration_adapters.healthcheck"]
# WEB_WORKERS processes of WEB_THREADS threads; each thread holds one database connection.
CMD ["python", "-m", "integration_adapters.web"]
